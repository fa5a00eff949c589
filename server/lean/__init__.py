"""LEAN's file formats, in both directions: pure functions and values, without input, output or a clock."""
