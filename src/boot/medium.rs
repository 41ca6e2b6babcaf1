//! The medium: what is wanted, and what was found.

use super::examine::{Sought, Stack};
use super::failure::Failure;
use super::hunt::{self, Hunt};
use super::loader::Loader;
use super::machine::Machine;
use super::named;
use super::report::{MediumReport, Report};
use super::saved::Own;
use crate::layout::ImageManifest;
use crate::plan::medium::Wanted;
use crate::plan::search::{Limits, Search};
use crate::request::{DeviceSpec, Request};
use crate::sys::clock;
use crate::units::{ImageId, Label};

/// The medium that was found.
#[derive(Debug)]
pub struct Medium {
    /// Kernel name of its device.
    pub name: String,
    /// What was mounted from it.
    pub stack: Stack,
}

impl Medium {
    /// What saved changes are compared with and named after.
    pub fn own(&self, request: &Request, report: &Report) -> Own {
        let shown = |field: fn(&MediumReport) -> &Option<String>| {
            let medium = report.medium.as_ref();
            medium.and_then(|m| field(m).clone()).unwrap_or_default()
        };
        Own {
            image: self.stack.found.id.clone(),
            label: shown(|m| &m.label),
            uuid: shown(|m| &m.uuid),
            live_dir: request.live_dir.clone(),
        }
    }
}

/// What is to be found: by the words, else by the manifest of this initramfs.
pub fn decide_wanted(
    request: &Request,
    manifest: Option<&ImageManifest>,
) -> Result<Wanted, Failure> {
    let by_label = || manifest.map(|m| DeviceSpec::Label(Label::new(&m.label)));
    let spec = request.medium.clone().or_else(by_label);
    if spec.is_none() && request.iso.is_none() {
        return Err(Failure::NothingWanted);
    }
    let image_path = format!("{}/{}", request.live_dir, request.squashimg);
    Ok(Wanted {
        spec,
        named: request.medium.is_some(),
        id: manifest.map(|m| m.id.clone()),
        image_path: image_path.trim_start_matches('/').to_owned(),
        iso: request.iso.clone(),
    })
}

/// One line for log and page.
pub fn describe(wanted: &Wanted) -> String {
    let spec = wanted.spec.as_ref().map(ToString::to_string);
    let mut text = match (&wanted.iso, spec) {
        (Some(iso), Some(spec)) => format!("/{iso} on any disk, {spec}"),
        (Some(iso), None) => format!("/{iso} on any disk"),
        (None, Some(spec)) => spec,
        (None, None) => "any medium".to_owned(),
    };
    if matches!(wanted.spec, Some(DeviceSpec::Path(_))) {
        return text;
    }
    text += &format!(" with {}", wanted.image_path);
    if let Some(id) = &wanted.id {
        text += &format!(" (id {})", id.short());
    }
    text
}

/// Finds it, however long that takes: a page is shown when nothing fits, and the search
/// goes on behind it.
pub fn find<'a>(
    machine: &'a Machine,
    request: &'a Request,
    wanted: Wanted,
    loader: &'a Loader,
    report: &mut Report,
) -> Result<(Hunt<'a>, Medium), Failure> {
    let wanted = named::settle(machine, wanted);
    let limits = Limits {
        timeout: request.timeout,
        give_up: request.ends_at(),
    };
    let sought = Sought {
        live_dir: request.live_dir.clone(),
        image_path: wanted.image_path.clone(),
        init: request.init.clone(),
        named: wanted.named,
    };
    let own = wanted.id.clone();
    let search = Search::new(wanted, limits, clock::since_boot());
    let (hunt, name, stack) = hunt::run(machine, request, sought, search, loader, report)?;
    if own.is_some() && stack.found.id != own {
        let short = |id: &Option<ImageId>| id.as_ref().map_or("none", ImageId::short).to_owned();
        report.warn(format!(
            "the image on {name} has the id {}, this initramfs was made for {}: taken, for the words name it",
            short(&stack.found.id),
            short(&own)
        ));
    }
    if let Some(medium) = &report.medium {
        let label = medium.label.as_deref().unwrap_or_default();
        log::info!("medium {}: {}, label {label:?}", medium.device, medium.fs);
    }
    Ok((hunt, Medium { name, stack }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{decide_request, said};

    #[test]
    fn the_words_name_a_medium_or_the_manifest_does() {
        let manifest = ImageManifest {
            schema: 1,
            id: ImageId::from_digest(&[1; 32]),
            size: 1,
            label: "OWN".into(),
            verity: None,
        };
        let wanted = |line: &str, manifest| {
            decide_wanted(&decide_request(&said::split(line.as_bytes())), manifest)
        };
        let by_words = wanted("root=live:LABEL=X", Some(&manifest)).unwrap();
        assert!(by_words.named && by_words.id == Some(manifest.id.clone()));
        let by_manifest = wanted("", Some(&manifest)).unwrap();
        assert!(!by_manifest.named);
        assert_eq!(by_manifest.spec, Some(DeviceSpec::Label(Label::new("OWN"))));
        assert!(wanted("", None).is_err());
        let in_file = wanted("iso-scan/filename=x.iso", None).unwrap();
        assert_eq!((in_file.spec, in_file.iso), (None, Some("x.iso".into())));
        let at_the_root = wanted("root=live:LABEL=X rd.live.dir=/", None).unwrap();
        assert_eq!(at_the_root.image_path, "squashfs.img");
    }
}
