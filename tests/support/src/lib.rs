//! Real mongod deployments for tests and for the demo.
