//! Runs the drivers' JSON tests against the engine, natively and in a browser.
