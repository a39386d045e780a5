package api

// Empty returns a pointer to the empty body of a message.
func Empty(name string) any {
	for _, info := range Catalogue {
		if info.Name == name {
			return info.make()
		}
	}
	panic("no message " + name)
}

// EmptyRecord returns a pointer to the empty body of a record.
func EmptyRecord(kind RecordKind) any {
	for _, info := range RecordCatalogue {
		if info.Kind == kind {
			return info.make()
		}
	}
	panic("no record " + kind)
}
