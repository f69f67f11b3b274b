"""The log on the Kafka protocol (Redpanda, Kafka), its topics, and faust, which deals partitions out to projections."""
