"""What a person starts: the command line, the settings, the supervisor, the embedded Kafka and ClickHouse."""
