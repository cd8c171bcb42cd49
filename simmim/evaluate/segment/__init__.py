"""UPerNet on ADE20K (appendix B)."""
