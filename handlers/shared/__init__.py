"""What gateway and worker share: errors, the wire, photo formats, PNG. Imports no torch."""
