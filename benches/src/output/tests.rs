//! Tests of `output`.

use super::*;

#[test]
fn a_file_is_replaced_by_the_whole_new_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("in/deep");
    let folder = Folder::prepare(&path).unwrap();
    folder.write("results.csv", "old").unwrap();
    folder.write("results.csv", "new").unwrap();
    let names = std::fs::read_dir(&path).unwrap();
    let names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["results.csv"]);
    let text = std::fs::read_to_string(path.join("results.csv")).unwrap();
    assert_eq!(text, "new");
}

#[test]
fn what_cannot_be_written_stays_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::prepare(dir.path()).unwrap();
    let file = dir.path().join("results.csv");
    folder.write("results.csv", "old").unwrap();
    // Blocks the new file.
    std::fs::create_dir(part(&file)).unwrap();
    let why = folder.write("results.csv", "new").unwrap_err().to_string();
    let begin = format!("cannot write {}: ", file.display());
    assert!(why.starts_with(&begin), "{why}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "old");
}
