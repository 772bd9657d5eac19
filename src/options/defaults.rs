//! What the operations of one database or collection do where they say nothing themselves.
//!
//! Specification: server-selection "Configuration", read-write-concern,
//! client-side-operations-timeout "timeoutMS": the most specific default wins, that of the
//! collection over that of its database over the client's, and what an operation is given wins over
//! all of them.

use std::time::Duration;

use super::{ClientOptions, ReadConcern, WriteConcern};
use crate::engine::selection::ReadPreference;

/// One struct of defaults: each may be left to the next wider holder.
macro_rules! defaults {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct $name {
            /// Which servers may serve reads.
            pub read_preference: Option<ReadPreference>,
            /// How safe the data of reads must be.
            pub read_concern: Option<ReadConcern>,
            /// How safe writes must be.
            pub write_concern: Option<WriteConcern>,
            /// How long one operation may take as a whole (`timeoutMS`); zero for as long as it
            /// likes. Once it is set it cannot be unset further in.
            pub timeout: Option<Duration>,
        }

        impl $name {
            /// Sets which servers may serve reads.
            #[must_use]
            pub fn read_preference(mut self, read_preference: ReadPreference) -> Self {
                self.read_preference = Some(read_preference);
                self
            }

            /// Sets how safe the data of reads must be.
            #[must_use]
            pub fn read_concern(mut self, read_concern: impl Into<ReadConcern>) -> Self {
                self.read_concern = Some(read_concern.into());
                self
            }

            /// Sets how safe writes must be.
            #[must_use]
            pub fn write_concern(mut self, write_concern: WriteConcern) -> Self {
                self.write_concern = Some(write_concern);
                self
            }

            /// Sets how long one operation may take as a whole (`timeoutMS`); zero for as long as
            /// it likes.
            #[must_use]
            pub fn timeout(mut self, timeout: Duration) -> Self {
                self.timeout = Some(timeout);
                self
            }

            /// These over those of `wider`.
            pub(crate) fn within(self, wider: &Defaults) -> Defaults {
                let wider = wider.clone();
                Defaults {
                    read_preference: self.read_preference.unwrap_or(wider.read_preference),
                    read_concern: self.read_concern.unwrap_or(wider.read_concern),
                    write_concern: self.write_concern.unwrap_or(wider.write_concern),
                    timeout: self.timeout.or(wider.timeout),
                }
            }
        }
    };
}

defaults! {
    /// The defaults of one database; `None` for the client's
    /// ([`Client::database_with_options`](crate::Client::database_with_options)).
    DatabaseOptions
}

defaults! {
    /// The defaults of one collection; `None` for the database's
    /// ([`Database::collection_with_options`](crate::Database::collection_with_options)).
    CollectionOptions
}

/// What counts where an operation says nothing itself.
#[derive(Clone, Debug)]
pub(crate) struct Defaults {
    pub(crate) read_preference: ReadPreference,
    pub(crate) read_concern: ReadConcern,
    pub(crate) write_concern: WriteConcern,
    pub(crate) timeout: Option<Duration>,
}

impl Defaults {
    /// Those of a client.
    pub(crate) fn of(options: &ClientOptions) -> Self {
        Self {
            read_preference: options.read_preference.clone(),
            read_concern: options.read_concern.clone(),
            write_concern: options.write_concern.clone(),
            timeout: options.timeout,
        }
    }
}
