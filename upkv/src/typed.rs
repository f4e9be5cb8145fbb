//! Whole values of Rust types, held as JSON text: readable by every client, and by a program that has moved on, because
//! fields are found by name.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::db::Db;
use crate::error::{Error, Result};
use crate::options::SetOptions;
use crate::transaction::Transaction;
use crate::value::owned::Value;

fn encode<V: Serialize + ?Sized>(value: &V) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| Error::Codec(Box::new(error)))
}

fn decode<V: DeserializeOwned>(found: Option<Value>) -> Result<Option<V>> {
    let decode = |value: Value| serde_json::from_slice(&value);
    let decoded = found.map(decode).transpose();
    decoded.map_err(|error| Error::Codec(Box::new(error)))
}

impl Db {
    /// The string at `key` read as JSON of a Rust type (feature `serde`).
    ///
    /// # Errors
    ///
    /// [`Error::Codec`] if it is no JSON of that type, or nested deeper than 128; [`Error::WrongType`],
    /// [`Error::Storage`].
    ///
    /// # Complexity
    ///
    /// O(bytes).
    ///
    /// # Examples
    ///
    /// ```
    /// use upkv::{Db, Error, Store};
    ///
    /// #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    /// struct User {
    ///     name: String,
    ///     age: u32,
    /// }
    ///
    /// let db = Db::mount(&Store::memory()?, "users")?;
    /// let ada = User { name: "Ada".to_owned(), age: 36 };
    /// db.set_as("user:1", &ada)?;
    /// assert_eq!(db.get_as::<User>("user:1")?, Some(ada));
    /// assert_eq!(db.get("user:1")?.expect("set above"), r#"{"name":"Ada","age":36}"#);
    /// db.set("user:2", "not JSON")?;
    /// assert!(matches!(db.get_as::<User>("user:2"), Err(Error::Codec(_))));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn get_as<V: DeserializeOwned>(&self, key: impl AsRef<[u8]>) -> Result<Option<V>> {
        decode(self.get(key)?)
    }

    /// Sets a string to the JSON of a Rust value, whatever the key held; its deadline is dropped (feature `serde`).
    ///
    /// # Errors
    ///
    /// [`Error::Codec`] for what JSON cannot hold, such as maps whose keys are no strings; as [`Db::set`].
    pub fn set_as<V: Serialize + ?Sized>(&self, key: impl AsRef<[u8]>, value: &V) -> Result<()> {
        self.set(key, encode(value)?)
    }

    /// As [`Db::set_as`] under conditions and with a deadline; whether it was set.
    ///
    /// # Errors
    ///
    /// As [`Db::set_as`] and [`Db::set_with`].
    pub fn set_as_with<V: Serialize + ?Sized>(
        &self,
        key: impl AsRef<[u8]>,
        value: &V,
        options: SetOptions,
    ) -> Result<bool> {
        self.set_with(key, encode(value)?, options)
    }
}

impl Transaction<'_> {
    /// See [`Db::get_as`].
    ///
    /// # Errors
    ///
    /// As [`Db::get_as`]; [`Error::Restart`] must be passed on.
    pub fn get_as<V: DeserializeOwned>(&self, key: impl AsRef<[u8]>) -> Result<Option<V>> {
        decode(self.get(key)?)
    }

    /// See [`Db::set_as`].
    ///
    /// # Errors
    ///
    /// As [`Db::set_as`]; [`Error::Restart`] must be passed on.
    pub fn set_as<V: Serialize + ?Sized>(&self, key: impl AsRef<[u8]>, value: &V) -> Result<()> {
        self.set(key, encode(value)?)
    }
}
