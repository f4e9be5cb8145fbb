//! The wire: requests out of bytes, replies and messages into bytes, and the connection that ties both to a session.
//!
//! Nothing here knows sockets; a server moves bytes between them and a [`Connection`].

mod connection;
mod inline;
mod request;

pub use connection::{Connection, FeedFuture, NextOutput, Output};
