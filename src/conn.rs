use crate::{
    buffer::OutBuf,
    command::Command,
    limits::Limits,
    proto::{Workspace, reply::ReplyWriter},
    record::Db,
};
#[derive(Debug)]
pub struct Connection {
    out: OutBuf,
}
impl Connection {
    pub fn new() -> Self {
        Self { out: OutBuf::new() }
    }
    pub fn handle_bytes(
        &mut self,
        _b: &[u8],
        _l: &Limits,
        _w: &mut Workspace,
        _e: &mut impl FnMut(Db, Command<'_>, &mut ReplyWriter<'_>),
    ) {
    }
    pub fn resume(
        &mut self,
        _l: &Limits,
        _w: &mut Workspace,
        _e: &mut impl FnMut(Db, Command<'_>, &mut ReplyWriter<'_>),
    ) {
    }
    pub fn handle_eof(
        &mut self,
        _l: &Limits,
        _w: &mut Workspace,
        _e: &mut impl FnMut(Db, Command<'_>, &mut ReplyWriter<'_>),
    ) {
    }
    pub fn output(&self) -> &[u8] {
        self.out.pending()
    }
    pub fn consume(&mut self, n: usize) {
        self.out.consume(n)
    }
    pub fn is_paused(&self) -> bool {
        false
    }
    pub fn can_resume(&self) -> bool {
        false
    }
    pub fn is_finished(&self) -> bool {
        false
    }
    pub fn wants_read(&self) -> bool {
        true
    }
    pub fn buffered(&self) -> usize {
        0
    }
    pub fn written(&self) -> u64 {
        0
    }
    pub fn shut(&mut self) {}
    pub fn refuse(&mut self, _t: &str) {}
}
