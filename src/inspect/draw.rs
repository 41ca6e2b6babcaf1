//! The layout of a medium, drawn to scale in characters.

use super::facts::Facts;
use crate::layout::Span;
use crate::units::{Bytes, shown};

/// What the terminal can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Canvas {
    /// Characters of a line, at least 40.
    pub width: usize,
    /// Whether it takes UTF-8.
    pub utf8: bool,
}

/// A stretch of the medium.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Piece {
    sign: char,
    name: String,
    start: u64,
    end: u64,
}

/// A bar to scale, and a line for each stretch: the tables, the ISO's small files, the root
/// image with its tree, the ESP, the backup.
pub fn draw(facts: &Facts, spans: &[Span], canvas: Canvas) -> String {
    let pieces = pieces(facts, spans);
    let width = canvas.width.clamp(40, 200) - 2;
    let (side, blank) = match canvas.utf8 {
        true => ('│', '·'),
        false => ('|', '.'),
    };
    let mut text = format!("{side}{}{side}\n", bar(&pieces, facts.length, width, blank));
    for piece in &pieces {
        let length = Bytes(piece.end - piece.start);
        let line = format!(
            "  {}  {:>13}  {:>10}  {}",
            piece.sign,
            piece.start,
            length.to_string(),
            shown(&piece.name)
        );
        text.extend(line.chars().take(canvas.width.max(40)));
        text.push('\n');
    }
    text
}

/// Each stretch has at least one character, in the order of the medium, as far as they go.
fn bar(pieces: &[Piece], length: u64, width: usize, blank: char) -> String {
    let place = |at: u64| (u128::from(at) * width as u128 / u128::from(length.max(1))) as usize;
    let mut cells = vec![blank; width];
    // Long ones first: a short one then gets its character in theirs.
    let mut order: Vec<&Piece> = pieces.iter().collect();
    order.sort_by_key(|piece| std::cmp::Reverse(piece.end - piece.start));
    for piece in order {
        let from = place(piece.start).min(width - 1);
        let to = place(piece.end).clamp(from + 1, width);
        cells[from..to].fill(piece.sign);
    }
    cells.into_iter().collect()
}

fn pieces(facts: &Facts, spans: &[Span]) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut push = |sign, name: String, start: u64, end: u64| {
        let end = end.min(facts.length);
        if start < end {
            pieces.push(Piece {
                sign,
                name,
                start,
                end,
            });
        }
    };
    if facts.mbr.as_ref().is_some_and(|mbr| mbr.signed) {
        push('M', "MBR".into(), 0, 512);
    }
    let size = u64::from(facts.gpt.sector_size);
    for (sign, name, copy) in [
        ('G', "GPT", &facts.gpt.primary),
        ('g', "GPT, the backup", &facts.gpt.backup),
    ] {
        let Some(copy) = copy else { continue };
        let entries = copy.entries_lba.saturating_mul(size);
        let entries_end = entries.saturating_add(u64::from(copy.entry_count) * 128);
        let header = copy.lba.saturating_mul(size);
        push(
            sign,
            name.into(),
            header.min(entries),
            entries_end.max(header + size),
        );
    }
    if facts.iso.present {
        push(
            'I',
            format!("ISO 9660 {:?}: {} files", facts.iso.label, facts.iso.files),
            16 * 2048,
            facts.iso.claimed,
        );
    }
    for file in &facts.iso.boot_files {
        let is_large = file.length >= 1 << 20 && file.length * 200 >= facts.length;
        if is_large {
            push(
                'K',
                format!("/{}", file.path),
                file.offset,
                file.offset + file.length,
            );
        }
    }
    for payload in &facts.payloads {
        let tree = payload.verity.as_ref().map(|verity| verity.offset);
        let end = payload.offset.saturating_add(payload.length);
        let data_end = tree.map_or(end, |tree| payload.offset + tree);
        push(
            'P',
            format!("/{} ({})", payload.path, payload.kind),
            payload.offset,
            data_end,
        );
        push('V', format!("/{}: hash tree", payload.path), data_end, end);
    }
    for fat in facts.fats.iter().filter(|fat| fat.offset > 0) {
        let kind = fat.header.map_or(String::new(), |kind| kind.to_string());
        push(
            'E',
            format!("{kind}: {} files", fat.files.len()),
            fat.offset,
            fat.offset.saturating_add(fat.length),
        );
    }
    let named = spans.iter().find(|span| span.name == "El Torito catalogue");
    if let Some(span) = named {
        push('T', span.name.clone(), span.at.start, span.at.end);
    }
    pieces.sort_by_key(|piece| (piece.start, std::cmp::Reverse(piece.end)));
    pieces
}

#[cfg(test)]
mod tests {
    use super::super::predict::tests::sample;
    use super::*;

    #[test]
    fn the_bar_is_to_scale_and_small_parts_are_seen() {
        let canvas = Canvas {
            width: 60,
            utf8: false,
        };
        let text = draw(&sample(), &[], canvas);
        let bar = text.lines().next().unwrap();
        assert_eq!(bar.len(), 60);
        // Sectors 1,000 to 2,000 of 2,054 are 28 of 58 characters.
        assert_eq!(bar.matches('E').count(), 28, "{text}");
        assert!(bar.ends_with("g|") && bar.contains('I'), "{text}");
        assert!(
            text.is_ascii() && text.lines().all(|line| line.len() <= 60),
            "{text}"
        );
    }

    #[test]
    fn a_bar_of_nothing_and_of_everything_is_drawn() {
        let canvas = Canvas {
            width: 0,
            utf8: true,
        };
        assert_eq!(draw(&Facts::default(), &[], canvas).chars().count(), 41);
        let mut facts = sample();
        facts.iso.claimed = u64::MAX;
        facts.fats[0].length = u64::MAX;
        let _ = draw(&facts, &[], canvas);
    }
}
