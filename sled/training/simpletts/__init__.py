"""SimpleTTS's training commands: its language model and its flow, under the published flags."""
