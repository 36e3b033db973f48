package engine

// SetSystemSocket lets tests look for the system's buildkitd elsewhere; it returns how to undo that.
func SetSystemSocket(path string) (undo func()) {
	was := systemSocket
	systemSocket = path
	return func() { systemSocket = was }
}
