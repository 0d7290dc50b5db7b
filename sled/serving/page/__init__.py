"""The page at `/`: type a text and hear it; plain files, without a build step."""
