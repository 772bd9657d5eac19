//! What the core relies on.

portolan_contract::contract!(portolan_smol::Smol::with_dns, smol::block_on);
