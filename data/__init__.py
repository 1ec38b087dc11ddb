"""What a study is, and every way to read an image of one."""
