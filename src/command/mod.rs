#[derive(Clone, Copy)]
pub struct Args<'a>(pub &'a [&'a [u8]]);
impl<'a> Args<'a> {
    pub fn iter(&self) -> impl Iterator<Item = &'a [u8]> {
        self.0.iter().copied()
    }
}
pub enum Command<'a> {
    Get { key: &'a [u8] },
    Set { key: &'a [u8], value: &'a [u8] },
    Del { keys: Args<'a> },
    Exists { keys: Args<'a> },
    Ping { m: Option<&'a [u8]> },
    Echo { m: &'a [u8] },
    Quit,
    Select { db: crate::record::Db },
    DbSize,
    Help { t: Option<&'a [u8]> },
    Command,
    ConfigGet,
    Info { section: Option<&'a [u8]> },
    FlushDb,
    Proto { d: u8 },
}
