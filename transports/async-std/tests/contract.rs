//! What the core relies on.

portolan_contract::contract!(
    portolan_async_std::AsyncStd::with_dns,
    portolan_async_std::connect_with,
    async_std::task::block_on
);
