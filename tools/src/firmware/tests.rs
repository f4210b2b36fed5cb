//! Tests of `firmware`.

use super::*;

fn find(chosen: Option<&str>, files: &[&str]) -> Result<Firmware, FirmwareError> {
    Firmware::find_with(chosen.map(Path::new), |path| {
        files.iter().any(|file| Path::new(file) == path)
    })
}

#[test]
fn known_paths_need_both_images() {
    let (code, vars) = KNOWN_PATHS[0];
    assert_eq!(find(None, &[code]), Err(FirmwareError::NotFound));
    let found = find(None, &[code, vars]).unwrap();
    assert_eq!(found.vars.as_deref(), Some(Path::new(vars)));
}

#[test]
fn a_chosen_image_brings_its_variables() {
    for (code, vars) in KNOWN_PATHS {
        let found = find(Some(code), &[code, vars]).unwrap();
        assert_eq!(found.code, Path::new(code));
        assert_eq!(found.vars.as_deref(), Some(Path::new(vars)), "{code}");
    }
    let whole = find(Some("/x/OVMF.fd"), &["/x/OVMF.fd"]).unwrap();
    assert_eq!(whole.vars, None);
    let missing = find(Some("/x/no.fd"), &[]).unwrap_err().to_string();
    assert!(missing.starts_with("OVMF=/x/no.fd: "), "{missing}");
}
