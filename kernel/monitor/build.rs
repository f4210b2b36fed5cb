//! Hands the linker script to the kernel `tocsin` and to those in examples/.

fn main() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../link.ld");
    println!("cargo:rerun-if-changed={script}");
    // The host only ever checks and documents this package; it never links it.
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("none") {
        for kind in ["bins", "examples"] {
            println!("cargo:rustc-link-arg-{kind}=-T{script}");
            println!("cargo:rustc-link-arg-{kind}=--no-dynamic-linker");
        }
    }
}
