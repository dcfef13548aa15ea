"""The functions that `import protoexplain as px` offers: short ways to what the other packages do."""
