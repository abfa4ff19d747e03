"""What the stores of passages do at 100,000 of them: building, recall, filtered, hybrid; beside Chroma and LanceDB."""
