pub struct ReplyWriter<'a> {
    pub out: &'a mut crate::buffer::OutBuf,
}
impl ReplyWriter<'_> {
    pub fn ok(&mut self) {}
    pub fn bulk(&mut self, _: &[u8]) {}
    pub fn null(&mut self) {}
    pub fn integer(&mut self, _: i64) {}
    pub fn error(&mut self, _: &str) {}
    pub fn lines(&mut self, _: &str) {}
}
