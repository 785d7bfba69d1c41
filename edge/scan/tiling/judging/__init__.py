"""What a picture of a tile says about its focus: by a model, by its neighbours, by its parts."""
