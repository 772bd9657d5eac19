//! Portolan in wasm32: WebSocket streams through the bridge, timers of the JavaScript host.
