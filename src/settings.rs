//! What every operation may set for itself, and the builders' common form.

use std::time::Duration;

use crate::client_session::ClientSession;
use crate::database::Database;
use crate::driver::route::{Own, Route};
use crate::engine::op::TimeBudget;
use crate::engine::selection::ReadPreference;
use crate::error::{Error, Result};
use crate::options::{Defaults, ReadConcern, WriteConcern};

/// What one operation sets for itself; what it leaves is its collection's or database's.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    pub(crate) read_preference: Option<ReadPreference>,
    pub(crate) read_concern: Option<ReadConcern>,
    pub(crate) write_concern: Option<WriteConcern>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) session: Option<ClientSession>,
}

static PRIMARY: ReadPreference = ReadPreference::PRIMARY;

impl Settings {
    /// Where a read goes.
    pub(crate) fn read<'a>(&'a self, database: &'a Database, defaults: &'a Defaults) -> Route<'a> {
        let preference = self.read_preference.as_ref().unwrap_or(&defaults.read_preference);
        let concern = self.read_concern.as_ref().unwrap_or(&defaults.read_concern);
        let read_concern = (!concern.is_default()).then(|| concern.to_document());
        let budget = self.budget(database, defaults);
        let session = self.session.clone();
        let own = self.own();
        Route { read_concern, budget, session, own, ..Route::read(database.name(), preference) }
    }

    /// Where a write goes.
    pub(crate) fn write<'a>(
        &self,
        database: &'a Database,
        defaults: &Defaults,
    ) -> Result<Route<'a>> {
        let mut concern = self.write_concern.as_ref().unwrap_or(&defaults.write_concern);
        concern.validate().map_err(Error::from)?;
        let budget = self.budget(database, defaults);
        let untimed;
        if budget.is_set() && concern.w_timeout.is_some() {
            // A deprecated option counts only without `timeoutMS`.
            untimed = WriteConcern { w_timeout: None, ..concern.clone() };
            concern = &untimed;
        }
        let document = (!concern.is_default()).then(|| concern.to_document());
        let session = self.session.clone();
        let own = self.own();
        Ok(Route { budget, session, own, ..Route::write(database.name(), document) })
    }

    /// Where a read goes that writes its results.
    pub(crate) fn output<'a>(
        &'a self,
        database: &'a Database,
        defaults: &'a Defaults,
    ) -> Result<Route<'a>> {
        let write_concern = self.write(database, defaults)?.write_concern;
        Ok(Route { write_concern, ..self.read(database, defaults) })
    }

    /// Where a read of what there is goes: always to the primary (enumerate-collections "Replica
    /// Sets": "Drivers MUST however run `listCollections` on the primary node").
    pub(crate) fn primary<'a>(&self, database: &'a Database, defaults: &Defaults) -> Route<'a> {
        let budget = self.budget(database, defaults);
        let session = self.session.clone();
        let own = self.own();
        Route { budget, session, own, ..Route::read(database.name(), &PRIMARY) }
    }

    /// Where a user's own command goes: no concern is added to it.
    pub(crate) fn command<'a>(&'a self, database: &'a Database) -> Route<'a> {
        let preference = self.read_preference.as_ref().unwrap_or(&PRIMARY);
        let budget = self.budget(database, database.defaults());
        let session = self.session.clone();
        let own = self.own();
        Route { budget, session, own, ..Route::read(database.name(), preference) }
    }

    fn own(&self) -> Own {
        let write = self.write_concern.as_ref().map(|_| "write");
        Own {
            concern: self.read_concern.as_ref().map(|_| "read").or(write),
            read_preference: self.read_preference.is_some(),
            timeout: self.timeout.is_some(),
        }
    }

    /// The time of an operation that begins now. In a `with_transaction` that has a time, it is
    /// that.
    fn budget(&self, database: &Database, defaults: &Defaults) -> TimeBudget {
        if let Some(budget) = self.session.as_ref().and_then(ClientSession::budget) {
            return budget;
        }
        let timeout = self.timeout.or(defaults.timeout);
        TimeBudget::begin(timeout, || database.client().shared().transport.now())
    }
}

/// Setters of a builder's options.
macro_rules! setters {
    ($($(#[$doc:meta])* $name:ident: $type:ty => $($path:tt).+;)*) => {
        $($(#[$doc])*
        pub fn $name(mut self, value: impl Into<$type>) -> Self {
            self.$($path).+ = Some(value.into());
            self
        })*
    };
}
pub(crate) use setters;

/// Setters of fields that go to the server under their own names.
macro_rules! fields {
    ($into:ident { $($(#[$doc:meta])* $name:ident: $type:ty => $field:literal;)* }) => {
        $($(#[$doc])*
        pub fn $name(mut self, value: impl Into<$type>) -> Self {
            let value: $type = value.into();
            self.$into.insert($field, value);
            self
        })*
    };
}
pub(crate) use fields;

/// Lets `.await` run a builder: its `run` is what happens.
macro_rules! awaited {
    (for<$($of:ident: $first:tt $(+ $more:tt)*),+> $name:ty => $output:ty) => {
        impl<$($of: $first $(+ $more)*),+> std::future::IntoFuture for $name {
            type Output = $crate::error::Result<$output>;
            type IntoFuture =
                $crate::transport::BoxFuture<'static, $crate::error::Result<$output>>;

            fn into_future(self) -> Self::IntoFuture {
                Box::pin(self.run())
            }
        }
    };
    ($name:ident => $output:ty) => {
        impl std::future::IntoFuture for $name {
            type Output = $crate::error::Result<$output>;
            type IntoFuture =
                $crate::transport::BoxFuture<'static, $crate::error::Result<$output>>;

            fn into_future(self) -> Self::IntoFuture {
                Box::pin(self.run())
            }
        }
    };
}
pub(crate) use awaited;
