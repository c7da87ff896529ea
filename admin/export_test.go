package admin

// InWords is how reasons are explained.
var InWords = inWords
