//! What a guest has said, held against what was expected.

use crate::glob;
use crate::scenario::Boot;
use crate::trouble::{Result, Trouble};
use serde_json::Value;

/// report.json as the guest printed it.
pub fn report_of(heard: &str) -> Option<Value> {
    let line = heard
        .lines()
        .find_map(|line| line.strip_prefix("@@LR report "))?;
    serde_json::from_str(line).ok()
}

/// All that does not hold, in one error.
pub fn check(boot: &Boot, heard: &str, report: Option<&Value>) -> Result<()> {
    let expect = &boot.expect;
    let lines: Vec<&str> = heard.lines().collect();
    let facts: Vec<&str> = lines
        .iter()
        .filter_map(|line| line.strip_prefix("@@LR "))
        .collect();
    let mut broken = Vec::new();
    for word in ["Kernel panic", "Oops:", "BUG:"] {
        broken.extend(
            lines
                .iter()
                .filter(|line| line.contains(word))
                .map(|line| (*line).to_owned()),
        );
    }
    let mut hold = |what: &str, patterns: &[String], texts: &[&str], wanted: bool| {
        for pattern in patterns {
            if texts.iter().any(|text| glob::fits(pattern, text)) != wanted {
                broken.push(format!("{what}: {pattern}"));
            }
        }
    };
    hold("missing fact", &expect.facts, &facts, true);
    hold("unwanted fact", &expect.no_facts, &facts, false);
    hold("missing line", &expect.lines, &lines, true);
    hold("unwanted line", &expect.no_lines, &lines, false);
    for (path, wanted) in &expect.report {
        let found = report.and_then(|report| value_at(report, path));
        if !found
            .as_ref()
            .is_some_and(|found| glob::fits(wanted, found))
        {
            broken.push(format!("report.json: {path} is {found:?}, not {wanted:?}"));
        }
    }
    if let Some(end) = boot.end
        && !lines.iter().any(|line| line.contains(end.line()))
    {
        broken.push(format!("the kernel's last line is not {:?}", end.line()));
    }
    if broken.is_empty() {
        Ok(())
    } else {
        Err(Trouble(broken.join("\n")))
    }
}

/// The value at a dotted path, as text; `[]` in a path joins all members of a list.
fn value_at(report: &Value, path: &str) -> Option<String> {
    let text = |value: &Value| {
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned)
    };
    if let Some((list, member)) = path.split_once("[].") {
        let list = report
            .pointer(&format!("/{}", list.replace('.', "/")))?
            .as_array()?;
        return Some(
            list.iter()
                .filter_map(|item| item.get(member))
                .map(text)
                .collect::<Vec<_>>()
                .join("; "),
        );
    }
    report
        .pointer(&format!("/{}", path.replace('.', "/")))
        .filter(|value| !value.is_null())
        .map(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn report_values_are_found_by_path() {
        let report = json!({"medium": {"label": "L", "uuid": null}, "candidates": [{"verdict": "refused"}, {"verdict": "accepted"}]});
        assert_eq!(value_at(&report, "medium.label").as_deref(), Some("L"));
        assert_eq!(
            value_at(&report, "candidates[].verdict").as_deref(),
            Some("refused; accepted")
        );
        assert_eq!(value_at(&report, "medium.uuid"), None);
        assert_eq!(value_at(&report, "medium.size"), None);
    }
}
