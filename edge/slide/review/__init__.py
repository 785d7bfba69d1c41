"""Fields of a slide for a professional to judge, and how far readings agree (dastidar2020 5)."""
