//! The wire between a connector and its node: gRPC service, client and values.
