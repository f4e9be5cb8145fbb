//! Tests of users as they are kept: rules there and back, and categories as Redis has them.
