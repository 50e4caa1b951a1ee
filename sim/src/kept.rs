//! The cases that are kept in `tests/cases`, each named after what it found or kills.

use std::{
    fs,
    path::{Path, PathBuf},
};

use quorate::probe::Mutant;

use crate::case::Case;

/// Where they are.
#[must_use]
pub fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/cases")
}

/// The case in a file.
///
/// # Errors
/// What is wrong with the file.
pub fn read(path: &Path) -> Result<Case, String> {
    let error = |error: String| format!("{}: {error}", path.display());
    let text = fs::read_to_string(path).map_err(|failed| error(failed.to_string()))?;
    Case::from_json(&text).map_err(error)
}

/// All of them but the one of a planted bug, which would show it at once. They stand in the order of
/// their names, whatever the folder's is: so a number names one case near them.
///
/// # Errors
/// What is wrong with the folder, or with one of the files.
pub fn all_but(mutant: Option<Mutant>) -> Result<Vec<Case>, String> {
    let own = mutant.map(|mutant| format!("{}.json", mutant.name()));
    let folder = folder();
    let error = |error: std::io::Error| format!("{}: {error}", folder.display());
    let paths = fs::read_dir(&folder).map_err(error)?;
    let paths: Result<Vec<PathBuf>, _> = paths.map(|entry| Ok(entry?.path())).collect();
    let mut paths = paths.map_err(error)?;
    paths.retain(|path| own.as_ref().is_none_or(|own| !path.ends_with(own)));
    paths.sort();
    paths.iter().map(|path| read(path)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_but_one_are_all_but_that_one() {
        let mutant = Mutant::NoResend;
        let own = read(&folder().join(format!("{}.json", mutant.name()))).expect("a kept case");
        let (all, others) = (all_but(None).expect("cases"), all_but(Some(mutant)).expect("cases"));
        assert!(all.contains(&own) && !others.contains(&own));
        assert_eq!(all.len(), others.len() + 1);
    }
}
