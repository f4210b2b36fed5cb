//! Hands the linker script to the kernels in examples/.

fn main() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/link.ld");
    println!("cargo:rerun-if-changed={script}");
    // The host only ever checks and documents this package; it never links it.
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("none") {
        println!("cargo:rustc-link-arg-examples=-T{script}");
        println!("cargo:rustc-link-arg-examples=--no-dynamic-linker");
    }
}
