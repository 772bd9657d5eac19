//! Portolan's tunnel: many byte streams over one WebSocket.
