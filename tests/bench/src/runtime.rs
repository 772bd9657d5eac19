//! The runtimes behind one face.

use std::future::Future;
use std::pin::Pin;

/// One runtime.
pub enum Runtime {
    Tokio(tokio::runtime::Runtime),
    AsyncStd,
    Smol,
}

type Task<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl Runtime {
    pub fn tokio() -> std::io::Result<Self> {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.enable_all().build().map(Self::Tokio)
    }

    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        match self {
            Self::Tokio(runtime) => runtime.block_on(future),
            Self::AsyncStd => async_std::task::block_on(future),
            Self::Smol => smol::block_on(future),
        }
    }

    pub fn spawn<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Task<T> {
        match self {
            Self::Tokio(runtime) => {
                let task = runtime.spawn(future);
                Box::pin(async move { task.await.expect("the task does not panic") })
            }
            Self::AsyncStd => Box::pin(async_std::task::spawn(future)),
            Self::Smol => Box::pin(smol::spawn(future)),
        }
    }
}
