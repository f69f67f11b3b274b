"""The store on CQL (ScyllaDB, Cassandra): how it is written, asked, audited and migrated."""
