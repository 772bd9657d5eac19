//! What the core relies on.

portolan_contract::contract!(portolan_async_std::AsyncStd::with_dns, async_std::task::block_on);
