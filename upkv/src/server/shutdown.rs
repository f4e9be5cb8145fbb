//! What a client asked of the host with SHUTDOWN.

use super::Server;
use crate::storage::sync::Ordering;

/// A client asked the host to end: `SHUTDOWN` ran. The engine has made everything durable by then; to close the store, and
/// to end the process if that is wanted, is for the host to do.
///
/// # Examples
///
/// ```
/// let db = upkv::Db::mount(&upkv::Store::memory()?, "cache")?;
/// let mut session = db.session();
/// session.command(["SHUTDOWN", "NOSAVE"])?;
/// assert!(session.is_closing());
/// let asked = db.shutdown_request().expect("the host is asked to end");
/// assert_eq!((asked.save, asked.now), (Some(false), false));
/// db.close()?;
/// # Ok::<(), upkv::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShutdownRequest {
    /// Whether `SAVE` or `NOSAVE` was said, if either was. After `SAVE` a checkpoint was taken.
    pub save: Option<bool>,
    /// Whether nothing is to be waited for.
    pub now: bool,
    /// Whether failures to save are no reason to stay.
    pub force: bool,
}

impl Server {
    /// Asks the host to end.
    pub(crate) fn ask_for_shutdown(&self, request: ShutdownRequest) {
        *self.shutdown.lock() = Some(request);
    }

    pub(crate) fn shutdown_request(&self) -> Option<ShutdownRequest> {
        *self.shutdown.lock()
    }

    /// Takes back what was asked; whether anything was.
    pub(crate) fn abort_shutdown(&self) -> bool {
        self.shutdown.lock().take().is_some()
    }

    /// Whether what is overdue is removed before anybody asks for it.
    pub(crate) fn expires_actively(&self) -> bool {
        !self.keeps_overdue.load(Ordering::Relaxed)
    }

    /// Stops or starts that; whether it was on.
    pub(crate) fn set_active_expiry(&self, on: bool) -> bool {
        !self.keeps_overdue.swap(!on, Ordering::Relaxed)
    }
}
