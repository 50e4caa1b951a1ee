//! RESP from the client's side, for the commands that talk to nodes: values, and a connection that
//! asks one thing at a time or several at once.

mod connection;
mod json;
mod value;

pub(super) use connection::{Connection, Credentials, Target, append_request};
pub(super) use json::to_json;
pub(super) use value::{BULK_SIZE_MAX, Value};
