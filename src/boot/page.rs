//! The failure page: what failed, what was seen, what to do; on every console at once.

use super::failure::Failure;
use super::machine::Machine;
use super::medium::describe;
use super::plymouth::Splash;
use super::report::{Report, describe_verdict};
use crate::layout::VERSION;
use crate::plan::search::{Candidate, Search};
use crate::request::{Host, Request};
use crate::sys::{clock, console, power, process};
use crate::units::Label;
use std::time::Duration;

/// Columns of the narrowest console.
const WIDTH: usize = 80;

/// Lines that the list of devices may take on a console of 25.
const DEVICES: usize = 7;

/// Below /run: why there is no live root, in one line, and its page.
const FAILURE: &str = "liveroot/failure";

/// Lines that notes may take.
const NOTES: usize = 2;

/// What else people should know, the newest troubles first: drivers that failed, and what the
/// report warns of.
pub fn notes(report: &Report, troubles: &[String]) -> Vec<String> {
    troubles
        .iter()
        .rev()
        .chain(report.warnings.iter().rev())
        .cloned()
        .collect()
}

/// Keeps a page for whoever comes to a shell: a line with the reason, and the page.
pub fn keep(machine: &Machine, failure: &Failure, sought: Option<&str>, page: &str) {
    let reason = match sought {
        Some(sought) => format!("{failure}: {sought}"),
        None => failure.to_string(),
    };
    let file = machine.run.join(FAILURE);
    let dir = file.parent().map_or(Ok(()), std::fs::create_dir_all);
    let written = dir.and_then(|()| std::fs::write(&file, format!("{reason}\n{page}")));
    if let Err(e) = written {
        log::warn!("writing {}: {e}", file.display());
    }
}

/// The page as text, without colour.
pub fn render(
    failure: &Failure,
    request: &Request,
    notes: &[String],
    search: Option<&Search>,
) -> String {
    let rule = "-".repeat(WIDTH - 1);
    let mut page = format!("\n{rule}\n");
    let headline = format!("This system can't start yet: {failure}");
    for line in wrap(&headline, WIDTH - 3).iter().take(4) {
        page += &format!(" {line}\n");
    }
    page.push('\n');
    if let Some(search) = search {
        page += &cut(
            &format!(" Sought:  {}", describe(&search.wanted)),
            WIDTH - 1,
        );
        page.push('\n');
        page += &list_devices(&search.candidates());
        page += "\n";
    }
    // A misspelt word may be why.
    let notes: Vec<&String> = request.misspelt.iter().chain(notes).take(NOTES).collect();
    for note in &notes {
        page += &cut(&format!(" Note:    {note}"), WIDTH - 1);
        page.push('\n');
    }
    if !notes.is_empty() {
        page.push('\n');
    }
    for line in failure.advice().lines() {
        page += &format!(" {line}\n");
    }
    let then = match request.shell {
        true => "Then dracut opens its emergency shell.",
        false => "Then dracut ends the boot, as rd.emergency says.",
    };
    page += &match (search, request.shell) {
        _ if request.host != Host::Own => match search {
            Some(_) => {
                let left = request
                    .ends_at()
                    .map(|end| end.saturating_sub(clock::since_boot()));
                let seconds = left.unwrap_or_default().as_secs();
                format!(" Waiting for {seconds} s more (rd.timeout, rd.retry). {then}\n")
            }
            None => format!(" {then}\n"),
        },
        (_, false) => format!(
            " The machine switches itself off {} s after its start (rd.shell=0, rd.retry).\n",
            request.retry.as_secs()
        ),
        (Some(_), true) => " Waiting. Ctrl+Alt+Del restarts the machine.\n".to_owned(),
        (None, true) => " Ctrl+Alt+Del restarts the machine.\n".to_owned(),
    };
    page + &format!("\n {} - liveroot {VERSION}\n{rule}\n", failure.id())
}

fn list_devices(candidates: &[&Candidate]) -> String {
    if candidates.is_empty() {
        return " Seen:    no disk, stick or disc at all\n".to_owned();
    }
    // What has a name or a file system says more than the rest.
    let mut shown: Vec<&&Candidate> = candidates.iter().collect();
    shown.sort_by_key(|c| (c.facts.fs.is_none(), c.order));
    let mut text = String::new();
    for (n, candidate) in shown.iter().take(DEVICES).enumerate() {
        let head = if n == 0 { " Seen:   " } else { "         " };
        let line = format!("{head} {}", describe_candidate(candidate));
        text += &cut(&line, WIDTH - 1);
        text.push('\n');
    }
    if shown.len() > DEVICES {
        text += &format!("          and {} more, in the log\n", shown.len() - DEVICES);
    }
    text
}

fn describe_candidate(c: &Candidate) -> String {
    let fs = c.facts.fs.as_ref();
    let label = fs
        .and_then(|f| f.label.as_ref())
        .map_or(String::new(), |l: &Label| format!(" {l:?}"));
    let kind = fs.map_or(String::new(), |f| format!(" {}", f.kind.name()));
    let model = if c.device.model.is_empty() {
        String::new()
    } else {
        format!(" ({})", c.device.model)
    };
    let (_, reason) = describe_verdict(&c.verdict);
    format!("{}{kind}{label}: {reason}{model}", c.device.name)
}

/// Lines of at most `width` characters, broken at blanks.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(cut(word, width)),
        }
    }
    lines
}

fn cut(line: &str, width: usize) -> String {
    if line.chars().count() <= width {
        return line.to_owned();
    }
    let kept: String = line.chars().take(width - 3).collect();
    kept + "..."
}

/// A sentence as lines of a console, each with the blank that text there begins with.
pub fn paragraph(text: &str) -> String {
    wrap(text, WIDTH - 3).join("\n ")
}

/// Writes what the user should know of this boot to every console, a paragraph each.
pub fn show_notices(machine: &Machine, notices: &[String]) {
    for notice in notices {
        show(machine, &format!("\n {}\n", paragraph(notice)));
    }
}

/// Writes a page to every console, and to the splash that covers them.
pub fn show(machine: &Machine, text: &str) {
    show_on_consoles(machine, text);
    if let Some(splash) = Splash::find(machine) {
        splash.show(text);
    }
}

/// Writes what is replaced in a second.
pub fn show_on_consoles(machine: &Machine, text: &str) {
    console::write_to(&console::active(&machine.sys, &machine.dev), text);
}

/// Makes a panic of the agent end on a page too, with its place in the code. The process
/// is aborted after it, and PID 1 goes on.
pub fn show_panics(machine: &Machine) {
    let machine = machine.clone();
    std::panic::set_hook(Box::new(move |panic| {
        log::error!("{panic}");
        show(&machine, &format!("\n liveroot {VERSION}: {panic}\n"));
    }));
}

/// How long a page stays at least before an unattended machine is switched off.
const READABLE: Duration = Duration::from_secs(30);

/// Nothing can be waited for: until the machine is switched off, by hand or by `rd.retry`.
pub fn wait_without_hope(request: &Request) -> ! {
    if !request.shell {
        let readable = clock::since_boot() + READABLE;
        process::wait_until(request.retry.max(readable), clock::since_boot);
        let e = power::power_off();
        log::error!("power off: {e}");
    }
    process::idle()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::medium::{Device, Probe, Wanted};
    use crate::plan::search::{Event, Limits};
    use crate::request::{DeviceSpec, decide_request, said};
    use crate::units::Sectors;

    fn page_with(devices: usize, line: &str) -> String {
        let wanted = Wanted {
            spec: DeviceSpec::parse(b"LABEL=LIVE"),
            named: true,
            id: None,
            image_path: "LiveOS/squashfs.img".into(),
            iso: None,
        };
        let limits = Limits {
            timeout: None,
            give_up: None,
        };
        let mut search = Search::new(wanted, limits, Duration::ZERO);
        for n in 0..devices {
            let name = format!("sd{n}");
            let device = Device {
                name: name.clone(),
                size: Sectors(8),
                parent: None,
                partitions: vec![],
                optical: false,
                host: None,
                model: "A very long model name of a stick that somebody bought".into(),
            };
            search.step(Duration::ZERO, Event::Seen(device));
            let unreadable = Probe::Unreadable("reading: Input/output error".into());
            search.step(Duration::ZERO, Event::Probed(name, unreadable));
        }
        let request = decide_request(&said::split(line.as_bytes()));
        let long = "rd.live.sqashimg: unknown word, did you mean rd.live.squashimg? And more words";
        let notes = vec![long.to_owned(); 5];
        render(&Failure::MediumNotFound, &request, &notes, Some(&search))
    }

    #[test]
    fn a_page_fits_80_by_25_with_any_number_of_devices() {
        for devices in [0, 1, 9, 10, 40] {
            let page = page_with(devices, "");
            assert!(page.lines().count() <= 25, "{page}");
            assert!(page.lines().all(|l| l.chars().count() < WIDTH), "{page}");
        }
    }

    #[test]
    fn a_page_says_what_was_sought_seen_and_what_to_do() {
        let page = page_with(2, "");
        for part in [
            "LABEL=LIVE",
            "sd0",
            "Input/output error",
            "Put the live stick",
            "medium-not-found",
        ] {
            assert!(page.contains(part), "{part} in {page}");
        }
        let words = Failure::Words("root=live:LABEL= ".repeat(12));
        let request = decide_request(&[]);
        let page = render(&words, &request, &[], None);
        assert!(page.lines().all(|l| l.chars().count() < WIDTH), "{page}");
        assert!(page_with(0, "").contains("no disk, stick or disc at all"));
    }

    #[test]
    fn the_advice_of_each_failure_fits_too() {
        let error = || crate::sys::Error::new("mounting", "/dev/sda1", libc::EIO);
        for failure in [
            Failure::Words(String::new()),
            Failure::NothingWanted,
            Failure::MediumNotFound,
            Failure::Medium(error()),
            Failure::MediumDamaged(String::new()),
            Failure::UpperRequired(String::new()),
            Failure::Upper(error()),
            Failure::Root(error()),
            Failure::Handoff(error()),
            Failure::AgentDied,
        ] {
            let mut lines = failure.advice().lines();
            assert!(lines.all(|l| l.chars().count() < WIDTH - 1), "{failure:?}");
        }
    }

    #[test]
    fn what_is_kept_begins_with_the_reason_in_one_line() {
        let dir = tempfile::tempdir().unwrap();
        let machine = Machine::below(dir.path().into());
        let page = page_with(1, "");
        keep(
            &machine,
            &Failure::MediumNotFound,
            Some("LABEL=LIVE"),
            &page,
        );
        let kept = std::fs::read_to_string(machine.run.join(FAILURE)).unwrap();
        let (reason, rest) = kept.split_once('\n').unwrap();
        assert_eq!(reason, "no device holds the live image: LABEL=LIVE");
        assert_eq!(rest, page);
    }

    #[test]
    fn a_misspelt_word_comes_first_among_the_notes_whatever_failed() {
        let request = decide_request(&said::split(b"root= rd.liv.dir=x"));
        let failure = Failure::Words(request.refusal.clone().unwrap());
        let page = render(&failure, &request, &["t".to_owned(), "w".to_owned()], None);
        let notes: Vec<&str> = page.lines().filter(|l| l.contains("Note:")).collect();
        assert_eq!(notes.len(), NOTES, "{page}");
        assert!(notes[0].contains("did you mean"), "{page}");
        assert!(notes[1].ends_with(" t"), "{page}");
    }

    #[test]
    fn an_unattended_machine_is_told_when_it_ends() {
        assert!(page_with(0, "rd.shell=0 rd.retry=20").contains("off 20 s after"));
    }
}
