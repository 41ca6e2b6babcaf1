//! Links the release agent small: without unwind tables, with packed relocations.
//!
//! With `panic = "abort"` nothing reads `.eh_frame`, 154 KB of the agent; debug builds keep it,
//! for debuggers. `.rela.dyn` packed as DT_RELR is 60 KB less, and needs the start-up code of
//! glibc 2.36 (Debian 12), which is linked in.

fn main() {
    println!("cargo::rerun-if-changed=src/bin/liveroot-init.ld");
    let var = |name: &str| std::env::var(name).unwrap_or_default();
    if var("PROFILE") == "release" {
        let dir = var("CARGO_MANIFEST_DIR");
        let bin = "cargo::rustc-link-arg-bin=liveroot-init";
        println!("{bin}=-Wl,--no-eh-frame-hdr");
        println!("{bin}=-Wl,-z,pack-relative-relocs");
        println!("{bin}=-Wl,-T,{dir}/src/bin/liveroot-init.ld");
    }
}
