"""What an Evolution API server of 2.3.x makes of bots: its units, its rules, its matching. PURE."""
