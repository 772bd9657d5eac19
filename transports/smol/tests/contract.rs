//! What the core relies on.

portolan_contract::contract!(
    portolan_smol::Smol::with_dns,
    portolan_smol::connect_with,
    smol::block_on
);
