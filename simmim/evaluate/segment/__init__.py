"""UPerNet on ADE20K (appendix C)."""
