pub mod peer;
pub mod reply;
#[derive(Debug, Default)]
pub struct Workspace {}
