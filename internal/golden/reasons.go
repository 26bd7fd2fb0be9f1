package golden

// Reasons lists why cases wait for a later issue: the only words with which a golden test may be skipped.
func Reasons() []string {
	var list []string
	for _, l := range later {
		list = append(list, l.reason)
	}
	return list
}
