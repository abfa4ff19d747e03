"""What can be set: one frozen dataclass a room, each default beside the line that explains it."""
