"""A recorded set of our own: 240 checkable questions, committed before any model saw them, and what two models said."""
