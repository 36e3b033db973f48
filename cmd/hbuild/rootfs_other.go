//go:build !unix

package main

import (
	"io/fs"
	"os"
)

// readKinds lists an open directory.
func readKinds(dir *os.File) ([]fs.DirEntry, error) { return dir.ReadDir(-1) }
